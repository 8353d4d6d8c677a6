"""Scripts that measure vtcli; README.md has their results.

run           speed: vtcli beside CP-VTON's way of doing the same (speed: what it is built of)
gpu           the tests and the speed rows that need a CUDA device
quality       the metrics of a set of weights on a test split, beside what is asked for
photos        any photo: are people found, and does the result leave alone what it should?
warps         ways to warp, and what each part of the GMM's training is worth
skin          drawn skin against the person's own, and against the truth
in_front      hands before the torso and dresses below a new hem: what must stay
collars       trains and measures the network that finds the inside of back collars
cutouts       trains and measures the network that cuts garments out of any background
one_garment   fits what tells which way up a garment is, and several garments from one
kinds         trains and measures the head that tells kinds of garments
web           the page's server under load
ablation      the paper's Table 1; ablation.md has the results
panels        contact sheets of always the same pairs, to be looked at
hold_up       kills, full disks and bad files (reliability: what it is built of)
on_triplets    figures of synthetic people, where the truth is known
table         a table of metrics beside what is asked of them
"""
