"""Runs many image jobs of esptool in one process.

argv[1]: a folder with `jobs.json`, a list of {do: elf2image | merge | hex-to-bin | info, chip, out, …arguments of esptool's function}. Writes
`results.json`: for each job null, or the exception that esptool raised. Files named in jobs are relative to the folder.
"""
import json
import os
import sys

import esptool.cmds as cmds
from esptool.bin_image import LoadFirmwareImage, intel_hex_to_bin
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
    elif do == "info":
        with open(job["out"], "w") as file:
            json.dump(info(open(job["image"], "rb").read()), file)
    else:
        raise ValueError(do)


def info(data):
    """The values that `esptool image-info` prints."""
    chip = cmds._parse_image_info_header(data)
    image = LoadFirmwareImage(chip, data)
    rom = image.ROM_LOADER
    named = lambda table, value: next((name for name, code in table.items() if code == value), None)
    types = [segment.get_memory_type(image) for segment in image.segments]
    app = next((cmds._parse_app_info(s.data) for s, t in zip(image.segments, types) if "DROM" in t and len(s.data) >= 256), None)
    return {
        "chip": rom.CHIP_NAME.lower().replace("-", ""),
        "entry": image.entrypoint,
        "mode": named(cmds.FLASH_MODES, image.flash_mode),
        "size": named(rom.FLASH_SIZES, image.flash_size_freq & 0xF0),
        "frequency": named(rom.FLASH_FREQUENCY, image.flash_size_freq & 0x0F),
        "segments": [[s.addr, s.file_offs + 8, len(s.data), t] for s, t in zip(image.segments, types)],
        "checksum": image.checksum,
        "right": image.checksum == image.calculate_checksum()
        and (not image.append_digest or image.stored_digest == image.calc_digest),
        "hash": image.stored_digest.hex() if image.append_digest else None,
        "app": app and [app["project_name"], app["version"], app["app_elf_sha256"], app["secure_version"]],
    }


results = []
for job in json.load(open("jobs.json")):
    try:
        run(job)
        results.append(None)
    except BaseException as error:  # includes esptool's AssertionError
        results.append(f"{type(error).__name__}: {error}")
with open("results.json", "w") as file:
    json.dump(results, file)
