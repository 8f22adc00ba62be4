"""The subcommands of ``relion-external``: each module here is one of them, under its own name.

A command module has ``HELP`` (a line for ``relion-external --help``),
``add_arguments(parser)`` and ``run(args) -> int``, the exit status.
"""
