"""Drills on an unmodified script: in a copy of its folder, in a process of its own, with its own training loop.

The parent (`launching`) copies the folder (`scratch`), starts the script with a plan, and judges what came back. In the
script's process `inside` hears of the training and the `conductor` takes its loop over: `meeting` learns what is
trained, and the drills are done between two iterations on the same batch. `guarding` refuses to write to the
folder that was copied.
"""
