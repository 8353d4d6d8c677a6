"""The command line: one thin file per subcommand, which reads options, calls `vtcli.core` and shows what came out.

app             the `vtcli` command: its subcommands, and where errors become lines and exit codes
prepare         `vtcli prepare`
train           `vtcli train`, a command per stage (train_options: its options; train_report: what it shows)
tryon           `vtcli tryon`, a function per mode
warp            `vtcli warp`, likewise (photos: what the two share)
score           `vtcli score`
web             `vtcli web`
weights         `vtcli weights`: list weights files, import CP-VTON's
hints           what the command line adds to an error: options that would help, and the exit code
options         options that several subcommands share
console         progress bars, tables and messages
"""
