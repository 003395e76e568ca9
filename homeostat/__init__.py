"""The application: settings become wiring, and wiring becomes something a person can run.

Here live the command line (`cli`), the pipeline from bytes to audit (`wiring`) and the implementations that settings choose
(`implementations`), what acts and for which environments (`acting`, `ownership`), start and stop of all of it (`runtime`), health and
what is lacking (`health`, `checkup`), the web endpoints (`web`), the demo shop (`demo`), drills with real systems (`drills`), benches (`bench`), the judge of the whole loop (`judge`), what of simulated systems is as in real ones (`realism`), replays (`replay`), and
`homeostat.api`, the only module that plugins import. Never
here: detection, diagnosis, decision or execution logic, and nothing that another package imports. This is the top of the house, so
arrows only leave it.
"""
