"""What was captured of a run, as blocks: its code, data, environment, randomness and hyperparameters.

Each module has `blocks(captured)`, which takes the files of a capture by name (JSON parsed, text as it is) and leaves
out what it does not find, or finds in another form than it expects. The report shows them, and so do the pages in
Markdown beside the captured files.
"""
