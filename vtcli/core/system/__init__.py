"""What the other rooms need of the machine. It knows nothing of pictures.

errors        the errors that a user sees as one line
files         files that are written whole or not at all
locks         one run at a time in an output folder
runtime       the device, bfloat16, memory that is kept
cores         how many cores there are, and how threads wait for one
workers       work on many files by several processes, in order; on arrays by threads
distributed   several processes as one run, under torchrun
"""
