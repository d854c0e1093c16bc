/**
 * The partition table of a new board: 4 MiB, two app slots, two model slots with their records. otadata and the first app
 * are where Arduino and PlatformIO upload to (0xe000, 0x10000). 0x9000 to 0xe000 stays free: tables of earlier versions
 * have an NVS of 20 KiB there, which an upload for such a board must not find taken. Every other partition that earlier
 * tables have is where it was. Model slots are of a type of our own: the numbers of `data` belong to ESP-IDF. See docs/nvs.md.
 */
export const defaultTable = `# name, type, subtype, offset, size, flags
otadata,  data, ota,      0xe000,   0x2000,
ota_0,    app,  ota_0,    0x10000,  0x180000,
ota_1,    app,  ota_1,    0x190000, 0x180000,
model_0,  0x40, 0x00,     0x310000, 0x60000,
model_1,  0x40, 0x01,     0x370000, 0x60000,
nvs_keys, data, nvs_keys, 0x3d0000, 0x1000, encrypted
phy_init, data, phy,      0x3d1000, 0x1000,
records,  0x40, 0x10,     0x3d2000, 0x4000,
config,   0x40, 0x11,     0x3d6000, 0x4000,
trust,    0x40, 0x12,     0x3da000, 0x2000,
nvs,      data, nvs,      0x3dc000, 0xc000,
coredump, data, coredump, 0x3e8000, 0x18000,
`;
