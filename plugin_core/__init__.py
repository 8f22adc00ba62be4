"""The regulariser: arrays in, arrays out. It knows no files and no RELION."""
