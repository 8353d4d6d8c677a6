"""What the two photos show, and which are refused.

- `pictures`: Pillow images, arrays and paths → arrays
- `finding`: photo → the people it shows, and the one that is meant
- `framing`: person → the window of the photo that shows the person as VITON's photos do (`window`: what a window is)
- `annotate`: window → parse and joints, by the project's own parser (`refine`: corrected by what is known of people)
- `person`: the annotated person, and who is refused (`user_masks`: what a user says must stay or be redrawn)
- `given`: parse and joints that come with the photo, refused where they are of something else
- `shop_photo`: shop photo → the garment cut out and placed, and what is refused (`judged_garment`: what it shows;
  `worn`: the top of a person in it)
- `data_annotator`: what `vtcli prepare` asks about a data set
- `problems`: the photos that cannot be used
"""
