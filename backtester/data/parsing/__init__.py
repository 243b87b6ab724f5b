"""From the bytes of a file to raw rows: one module for each publisher, all streaming, none judging what the rows say."""
