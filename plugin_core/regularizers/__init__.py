"""The regularisers: each a module with `regularize(inputs, parameters)` (see `interface`)."""
