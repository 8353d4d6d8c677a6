"""Files on disk → arrays: data sets, photos and their annotations, the prepared store, results.

labels            LIP's 20 labels, COCO-18's joints, and how other sets map onto them
images            pictures as people have them → RGB at a size, and back
annotations       parse maps and masks on disk → arrays
poses             joints as pose estimators write them → COCO-18
plausibility      given parse maps and joints compared with what the parser sees
pixels            uint8 pictures ↔ the networks' floats in [-1, 1]
body_regions      parts of a body on label maps: hands, neck, torso, and what a change of top touches
arms              where pixels lie beside an arm's bones, and how wide arms are
sleeves           where a sleeve ends on the person who wears it
hole_filling      holes in the parse of a garment get the garment's label (parse_gaps: gaps by their colour)
parse_missed      what a given parse map misses and the parser sees
areas             areas of a picture: grown, and in pieces
label_metrics     how well labels, masks and joints agree: intersection over union, PCK
triplets          chunks of triplets: a person in two garments, with truth
layouts           which files of a data folder belong together: VITON and the sets that follow it, DressCode, raw
pairs_lists       lists of pairs, as people and programs write them
labelled_photos   photos with label maps from beyond VITON, for the parser
prepare           a data folder → the prepared store, step by step
store             the prepared store: its format, its manifest, reading it
validation        which pairs of a test split choose between trainings, which only judge
found_masks       garment masks that stores of an older format lack
results           the results folder, which `tryon --data` writes and `score` reads
"""
