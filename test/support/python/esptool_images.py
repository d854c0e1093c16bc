"""Runs many image jobs of esptool in one process.

argv[1]: a folder with `jobs.json`, a list of {do: elf2image | merge | hex-to-bin, chip, out, …arguments of esptool's function}. Writes
`results.json`: for each job null, or what esptool raised. Files named in jobs are relative to the folder.
"""
import json
import os
import sys

import esptool.cmds as cmds
from esptool.bin_image import intel_hex_to_bin
from esptool.logger import log

os.chdir(sys.argv[1])
log.set_verbosity("silent")


def run(job):
    do = job.pop("do")
    if do == "elf2image":
        cmds.elf2image(job.pop("elf"), job.pop("chip"), job.pop("out"), **job)
    elif do == "merge":
        regions = [(offset, file) for offset, file in job.pop("regions")]
        cmds.merge_bin(regions, job.pop("chip"), job.pop("out"), **job)
    elif do == "hex-to-bin":
        for index, (address, data) in enumerate(intel_hex_to_bin(open(job["hex"], "rb"))):
            with open(f"{job['out']}.{index}.{address:x}", "wb") as file:
                file.write(data.read())
    else:
        raise ValueError(do)


results = []
for job in json.load(open("jobs.json")):
    try:
        run(job)
        results.append(None)
    except BaseException as error:  # an AssertionError of esptool counts too
        results.append(f"{type(error).__name__}: {error}")
with open("results.json", "w") as file:
    json.dump(results, file)
