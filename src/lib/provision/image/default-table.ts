/**
 * The partition table of a board of ours: 4 MiB, two app slots, two model slots with their records. NVS, otadata and the
 * first app lie where Arduino and PlatformIO expect them (0x9000, 0xe000, 0x10000), so that their uploads work on it too.
 * Model slots are of a type of our own: the numbers of `data` belong to ESP-IDF. docs/nvs.md tells of it.
 */
export const defaultTable = `# name, type, subtype, offset, size, flags
nvs,      data, nvs,      0x9000,   0x5000,
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
coredump, data, coredump, 0x3e0000, 0x20000,
`;
