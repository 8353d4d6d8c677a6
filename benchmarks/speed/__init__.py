"""What `benchmarks/run.py` is built of.

sides       each row's two sides: the baseline's and vtcli's (baseline: CP-VTON's way)
worker      one side in a process of its own
turns       two such processes that take turns
commands    whole commands: time and peak memory
growth      how time and memory grow with the number of pairs
fid         what FID costs
busy        work while other programs use the cores
material    a data folder of any length
machine     what a table was measured on
"""
