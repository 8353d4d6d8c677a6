"""The way of a photo: two photos in, one picture out; or a whole split of a prepared store.

In the order of that way:

- `pipeline`: the front door, `TryOn`; calls each step below once
- `photos/`: what the two photos show: the person, the window, parse and joints; the garment, cut out and placed
- `networks`: person and garment → warp (GMM), rendering, composition mask and M_exp (TOM), at 256×192
- `composing/`: all of them → the picture, at the photo's resolution, by equation (1) and the rule of what stays the
  photo's
- `results`: what is handed back, with the contact sheet (`panel`) of everything in between
- `many`: several people and garments, each looked at once
- `split`: a prepared store's pairs → a results folder; interrupted, it continues
"""
