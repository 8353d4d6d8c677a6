"""What a shop photo holds: the garment's masks, and the garment as the networks see it. Arrays in, arrays out.

cutout        a shop photo → the garment's mask
any_background  the same where the background is not plain, by what a network takes for likely
given_mask    a mask that came with its photo: does it lie on the garment?
bites         what a cut-out misses of white garments on white
pieces        the one garment of a cut-out: no panels, no bars, nothing that lies apart
bust          the neck of a bust form, taken off the cut-out
mask_repair   a mask that came with a data set, repaired by its photo
collar        the inside of the back collar, which nobody sees on a person: by clear_collar, a watershed, and by
              collar_network, a small network, evened by neckline_curve
neck_label    a label at the neck, with cloth in its place
colours       what tells cloth, skin and scene from one another, in CIELAB
masks         what is found once of a garment: its repaired mask, and its front without the collar's inside
placement     a garment from a photo of any size → cut out and placed as the GMM knows garments
"""
