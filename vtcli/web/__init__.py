"""The page to try on in, and its HTTP API: `vtcli web`. It calls the library as any program would.

- `server`: routes, what may be uploaded, what a browser may load
- `service`: one engine behind a queue; results in memory, for a while
- `static/`: the page itself: one HTML file, one style sheet, one script, nothing from elsewhere
"""
