"""CP-VTON's published way of doing the work, written anew from its description (Wang et al., ECCV 2018): what
`benchmarks/run.py` measures vtcli against. Default memory format, float32, Adam, samples by Pillow one at a time,
the TPS grid from broadcast tensors at every call, warps as image files between the stages.

dataset    a pair's files → one sample
networks   the GMM and the U-Net
stages     the two stages, from files to files
"""
