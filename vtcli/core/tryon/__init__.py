"""The way of a photo: two photos in, one picture out; or a whole split of a prepared store.

In the order of that way:

- `pipeline`: the front door, `TryOn`; calls each step below once (`pictures`: Pillow images, arrays and paths → arrays)
- `finding`: photo → the people it shows, and the one that is meant
- `framing`: person → the window of the photo that shows the person as VITON's photos do (`window`: what a window is)
- `annotate`: window → parse and joints, by the project's own parser (`refine`: corrected by what is known of people;
  `person`: the annotated person, and who is refused; `user_masks`: what a user says must stay or be redrawn)
- `given`: parse and joints that come with the photo, refused where they are of something else
- `shop_photo`: shop photo → the garment cut out and placed, and what is refused (`judged_garment`: what it
  shows; `worn`: the top of a person in it)
- `parse_gaps`: what the parse calls background, and is the garment that is worn
- `networks`: person and garment → warp (GMM), rendering, composition mask and M_exp (TOM), at 256×192
- `composer`: all of them → the picture, at the photo's resolution, by equation (1) and the rule of what stays the
  photo's (`maps`: what the photo shows and what is expected; `layers`: what lies beneath, where the garment shows,
  where the photo stays; `full_warp`: the garment at that resolution; `filling`: what appears where the old garment
  goes; `garment_edge`: where the new garment is; `old_garment`: what the parse missed of the old one, and dresses; `cloth_colours`: what has its colours; `neck`: what labels call background and is skin;
  `sleeve_hems`: how sleeves end; `bared_arms`: how wide arms are; `even_skin`: drawn skin without stains;
  `grain`: its grain; `shoulder_line`: where shoulders end;
  `planes`: maps enlarged, with edges where the photo has them)
- `results`: what is handed back, with the contact sheet (`panel`) of everything in between
- `many`: several people and garments, each looked at once
- `split`: a prepared store's pairs → a results folder; interrupted, it continues
- `data_annotator`: what `vtcli prepare` asks about a data set
- `problems`: the photos that cannot be used
"""
