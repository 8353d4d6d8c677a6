"""What `benchmarks/hold_up.py` is built of.

forks       runs of vtcli in forked processes that can be killed
bad_files   a corpus of bad files, and a walk of it through every command
"""
