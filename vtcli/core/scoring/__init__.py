"""Scoring: results folders in, metrics with their definitions out.

runs.py           results folders → runs, each picture beside the photo it is measured against
reference.py      --reference: photos found by name, for vtcli's results and for other tools'
pictures.py       pictures in files and stores, read where they are needed
image_metrics.py  SSIM, MS-SSIM, PSNR, the redrawn region: pure functions
pairwise.py       those metrics, and M_exp's IoU, for every pair, in several processes
sleeve_scores.py  where sleeves end in a run's results, beside the garment's own model and what was worn
cut.py            hem and warp against the truth of synthetic people
perceptual.py     learned distances per picture: LPIPS, ST-LPIPS
features.py       pictures → feature vectors (Inception, EfficientNet-Lite0)
distances.py      feature vectors → Fréchet and kernel distances
spaces.py         which feature spaces are at hand, and each run's distances in them
bootstrap.py      intervals of differences; differences.py applies them to runs
metrics.py        the metrics by name, with their exact definitions
scores.py         options, the metrics of pictures, and the scores of runs and subsets
evaluate.py       all of it, for every run and subset, with the reasons where a metric cannot be had
notes.py          warnings: runs that do not compare, distances of too few pictures
outputs.py        JSON and CSV
report.py         one self-contained HTML file, by report.html.j2; plots.py and album.py make its pictures
"""
