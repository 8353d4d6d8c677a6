"""Scoring: results folders in, figures with their definitions out.

runs.py        results folders → runs, each picture beside the photo it is measured against
paired.py      SSIM, MS-SSIM, PSNR and M_exp's IoU per picture, in several processes
perceptual.py  LPIPS per picture
features.py    pictures → feature vectors (Inception, EfficientNet-Lite0)
distances.py   feature vectors → Fréchet and kernel distances
evaluate.py    all of it, for every run and subset, with the reasons where a figure cannot be had
outputs.py     JSON and CSV
report.py      one self-contained HTML file, by report.html.j2; plots.py and album.py make its pictures
"""
