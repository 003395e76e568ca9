"""The application: settings become wiring, and wiring becomes something a person can run.

Here live the command line (`cli`), the wiring of ports to implementations (`wiring`, `runtime`, `acting`), health and what is lacking
(`health`, `checkup`), the web endpoints (`web`), the demo shop (`demo`), benches
(`bench`), replays (`replay`), and `homeostat.api`, the only module that plugins import. Never
here: detection, diagnosis, decision or execution logic, and nothing that another package imports. This is the top of the house, so
arrows only leave it.
"""
