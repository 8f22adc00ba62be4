"""RELION's side of the plugin: STAR files, job folders, processes and the command line.

Importing this package imports nothing else, so that the command line answers at once.
"""

__version__ = "0.1.0"
