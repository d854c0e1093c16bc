import { openSync, writeSync } from 'node:fs';
import { Args, Flags } from '@oclif/core';
import { AiotError, systemCode } from '../../core/errors.js';
import { printable } from '../../core/text.js';
import type { AfterMode, BeforeMode, LoaderOptions, LoaderProgress } from '../../flash/loader/types.js';
import { offsetOf } from '../../flash/plan/pieces.js';
import {
  type ChipName,
  chipNames,
  flashFrequencies,
  flashModes,
  flashSizeBytes,
  flashSizes,
} from '../../formats/esp-image/chips.js';
import { firmwareProfiles } from '../../project/firmware/folder.js';
import { type ImageRequest, type WifiLogin, wifiLoginMethods } from '../../provision/chip-options.js';
import type { Progress, ProgressState } from '../live/progress.js';
import { decimal, duration } from './shared.js';

const chips: readonly (ChipName | 'auto')[] = ['auto', ...chipNames];
const beforeModes: readonly BeforeMode[] = ['default-reset', 'usb-reset', 'no-reset', 'no-reset-no-sync'];

const afterModes: readonly AfterMode[] = [
  'hard-reset',
  'soft-reset',
  'watchdog-reset',
  'no-reset',
  'no-reset-stub',
];

/** Flags for commands that communicate with a chip's bootloader. */
export const flashFlags = {
  chip: Flags.option({ options: chips, default: 'auto' as const })({
    summary: 'Fail if the chip is not this one; auto accepts any.',
    env: 'AIOT_CHIP',
    helpGroup: 'CONNECTION',
    helpValue: 'CHIP',
  }),
  baud: Flags.integer({
    summary: 'Baud rate after connecting; reduced automatically if the cable cannot keep up.',
    min: 50,
    default: 921_600,
    env: 'AIOT_BAUD',
    helpGroup: 'CONNECTION',
    helpValue: 'BAUD',
  }),
  'no-stub': Flags.boolean({
    summary: "Use the chip's ROM loader only: slower, and no flasher stub runs on the chip.",
    env: 'AIOT_NO_STUB',
    helpGroup: 'CONNECTION',
    default: false,
  }),
  before: Flags.option({ options: beforeModes, default: 'default-reset' as const })({
    summary: 'How to put the chip into its loader.',
    env: 'AIOT_BEFORE',
    helpGroup: 'CONNECTION',
    helpValue: 'MODE',
  }),
  after: Flags.option({ options: afterModes, default: 'hard-reset' as const })({
    summary: 'How to reset the chip afterward.',
    env: 'AIOT_AFTER',
    helpGroup: 'CONNECTION',
    helpValue: 'MODE',
  }),
  trace: Flags.string({
    summary:
      'Record the communication with the chip, without flash contents, for a bug report; - = standard error.',
    env: 'AIOT_TRACE',
    helpGroup: 'CONNECTION',
    helpValue: 'FILE',
  }),
};

interface LoaderGiven {
  chip: LoaderOptions['chip'];
  baud: number;
  'no-stub': boolean;
  before: LoaderOptions['before'];
  after: LoaderOptions['after'];
  trace?: string | undefined;
}

/** Converts these flags to loader options. */
export function loaderOptions(
  { chip, baud, before, after, trace, ...flags }: LoaderGiven,
  signal: AbortSignal,
): LoaderOptions {
  const options = { chip, baud, stub: !flags['no-stub'], before, after, signal };
  return trace === undefined ? options : { ...options, trace: traceWriter(trace) };
}

/** Returns a function that appends lines to a new file, which replaces an existing one, or to standard error (`-`). @throws AIOT_FILE_NOT_WRITABLE */
function traceWriter(target: string): (text: string) => void {
  if (target === '-') return (text) => process.stderr.write(`${printable(text)}\n`);
  try {
    const file = openSync(target, 'w', 0o600);
    // Written immediately, because a bug report needs the lines before a crash.
    return (text) => writeSync(file, `${text}\n`);
  } catch (cause) {
    const code = systemCode(cause);
    const why = code === 'EISDIR' ? 'it is a folder' : code === 'ENOENT' ? 'its folder does not exist' : code;
    throw new AiotError('AIOT_FILE_NOT_WRITABLE', `cannot write ${target}: ${why}`, {
      endpoint: target,
      cause,
    });
  }
}

/** Flags of commands that write a board's flash. */
export const writeFlags = {
  device: Flags.string({
    summary:
      "Folder of a device's identity (aiot device provision) or of a batch's images (aiot device batch provision); for several boards, also a folder of identities.",
    env: 'AIOT_DEVICE',
    helpValue: 'DIR',
  }),
  all: Flags.boolean({
    summary: 'Use every board connected to this machine.',
    env: 'AIOT_ALL',
    helpGroup: 'PRODUCTION',
    default: false,
  }),
  jobs: Flags.integer({
    summary: 'Number of boards to process at a time.',
    env: 'AIOT_JOBS',
    helpGroup: 'PRODUCTION',
    min: 1,
    max: 256,
    default: 8,
    helpValue: 'N',
  }),
  retries: Flags.integer({
    summary: 'Retries after a cable failure [default: 0; 2 for several boards].',
    env: 'AIOT_RETRIES',
    helpGroup: 'PRODUCTION',
    min: 0,
    max: 20,
    helpValue: 'N',
  }),
  record: Flags.string({
    summary: 'Production record to start or continue, .csv or .json, with one row per board.',
    env: 'AIOT_RECORD',
    helpGroup: 'PRODUCTION',
    helpValue: 'FILE',
  }),
  erase: Flags.boolean({ summary: 'Erase the whole flash first.', env: 'AIOT_ERASE', default: false }),
  verify: Flags.boolean({
    summary: 'Compare all regions again after the last write.',
    env: 'AIOT_VERIFY',
    default: false,
  }),
  'diff-with': Flags.string({
    summary: "Copy of the board's current contents; only 4 KiB sectors that differ are written. Repeatable.",
    env: 'AIOT_DIFF_WITH',
    helpValue: 'OLD[@OFFSET]',
    multiple: true,
    multipleNonGreedy: true,
    delimiter: ',',
  }),
  'flash-mode': Flags.option({ options: ['keep', ...flashModes] as const })({
    summary: "Set the flash mode in the bootloader's header [default: keep].",
    env: 'AIOT_FLASH_MODE',
    helpGroup: 'BOOTLOADER',
  }),
  'flash-size': Flags.option({ options: ['keep', 'detect', ...flashSizes] as const })({
    summary: "Set the flash size in the bootloader's header [default: keep].",
    env: 'AIOT_FLASH_SIZE',
    helpGroup: 'BOOTLOADER',
  }),
  'flash-freq': Flags.option({ options: ['keep', ...flashFrequencies] as const })({
    summary:
      "Set the flash frequency in the bootloader's header [default: keep]; valid values depend on the chip.",
    env: 'AIOT_FLASH_FREQ',
    helpGroup: 'BOOTLOADER',
  }),
  slot: Flags.string({
    summary:
      'Update over the cable: app slot to write and boot, `next` or a label. Without --firmware, boots the app already in that slot.',
    env: 'AIOT_SLOT',
    helpGroup: 'UPDATE',
    helpValue: 'SLOT',
  }),
  firmware: Flags.string({
    summary: 'Firmware for the slot: an app image, or a version in the registry.',
    env: 'AIOT_FIRMWARE',
    helpGroup: 'UPDATE',
    helpValue: 'FILE|NAME@V',
  }),
  model: Flags.string({
    summary: 'Model for the model slot: a signed bundle, or a version in the registry.',
    env: 'AIOT_MODEL',
    helpGroup: 'UPDATE',
    helpValue: 'FILE|NAME@V',
  }),
  watch: Flags.boolean({
    summary: 'Watch the restarted board and roll back if it does not become healthy.',
    env: 'AIOT_WATCH',
    helpGroup: 'UPDATE',
    default: false,
  }),
  healthy: Flags.string({
    summary:
      'Regular expression that matches the output of a healthy board; without it, any boot without a fault counts.',
    env: 'AIOT_HEALTHY',
    helpGroup: 'UPDATE',
    helpValue: 'PATTERN',
    dependsOn: ['watch'],
  }),
  force: Flags.boolean({
    summary: 'Write even if a safety check fails, and list the checks that were overridden.',
    env: 'AIOT_FORCE',
    default: false,
  }),
};

/** Configurations of the firmware for a board. */
export const firmwareProfile = Flags.option({ options: firmwareProfiles })({
  summary:
    'Configuration for boards: large = ESP32-S3 with 8 MB and PSRAM, secure = secure boot and flash encryption, nvs-hmac = NVS keys from the fuses, low-power = light sleep. Repeatable.',
  env: 'AIOT_PROFILE',
  multiple: true,
  multipleNonGreedy: true,
  delimiter: ',',
});

/** Flags of commands that burn fuses. */
export const lockFlags = {
  'boot-key': Flags.string({
    summary: 'Secure boot key (PEM); the public key suffices. Repeatable, up to three.',
    env: 'AIOT_BOOT_KEY',
    helpGroup: 'LOCKING',
    helpValue: 'PEM',
    multiple: true,
    multipleNonGreedy: true,
  }),
  'encryption-keys': Flags.string({
    summary: 'Folder with the flash encryption keys, one per board; missing keys are created.',
    env: 'AIOT_ENCRYPTION_KEYS',
    helpGroup: 'LOCKING',
    helpValue: 'DIR',
  }),
  'nvs-key': Flags.string({
    summary: "HMAC key of this board's NVS (32 bytes), which is burned into key block 5.",
    env: 'AIOT_NVS_KEY',
    helpGroup: 'LOCKING',
    helpValue: 'FILE',
  }),
  yes: Flags.boolean({
    summary: 'Burn the fuses, which cannot be undone; otherwise only the plan is shown.',
    env: 'AIOT_YES',
    helpGroup: 'LOCKING',
    default: false,
  }),
  mac: Flags.string({
    summary: "The board's MAC, as confirmation; without it, you are asked to type it.",
    env: 'AIOT_MAC',
    helpGroup: 'LOCKING',
    helpValue: 'MAC',
  }),
};

/** Converts the flags to loader options, and shows the loader's progress in the command's progress line. */
export function boardLoader(
  flags: Parameters<typeof loaderOptions>[0],
  signal: AbortSignal,
  progress: Progress,
): LoaderOptions {
  return { ...loaderOptions(flags, signal), progress: (state) => progress.update(shown(state)) };
}

function shown({ stage, region, done, total, note }: LoaderProgress): ProgressState {
  const name = region === null ? stage : `${stage} ${region}`;
  const moves = stage === 'read' || stage === 'write';
  const shown = { text: [name, note].filter(Boolean).join(', '), step: { name, figures: note ?? '' } };
  return moves && total > 0 ? { ...shown, done, total } : shown;
}

/** Port of the board, for commands that also work without a board. No port is chosen automatically. */
export const ownPort = Flags.string({
  summary: "The board's serial port: /dev/ttyUSB0, COM3, socket://HOST:PORT, rfc2217://HOST:PORT.",
  env: 'AIOT_PORT',
  helpValue: 'PORT',
});

/** Flags of commands that create the image of a device on a chip. */
export const imageFlags = {
  'wifi-ssid': Flags.string({
    summary: 'Wi-Fi network for the device to join.',
    env: 'AIOT_WIFI_SSID',
    helpValue: 'NAME',
  }),
  'wifi-password-file': Flags.string({
    summary: 'File with the Wi-Fi password [default: AIOT_WIFI_PASSWORD].',
    env: 'AIOT_WIFI_PASSWORD_FILE',
    helpValue: 'FILE',
  }),
  'wifi-eap': Flags.option({ options: wifiLoginMethods })({
    summary: 'Login method of an enterprise network; ttls encloses MSCHAPv2, ttls-pap the password.',
    env: 'AIOT_WIFI_EAP',
  }),
  'wifi-username': Flags.string({
    summary: 'User name for peap, ttls and ttls-pap.',
    env: 'AIOT_WIFI_USERNAME',
    helpValue: 'NAME',
  }),
  'wifi-identity': Flags.string({
    summary: "Outer identity, which is not encrypted [default: anonymous; for tls, the certificate's name].",
    env: 'AIOT_WIFI_IDENTITY',
    helpValue: 'NAME',
  }),
  'wifi-ca': Flags.string({
    summary: "CA of an enterprise network's RADIUS server (PEM).",
    env: 'AIOT_WIFI_CA',
    helpValue: 'FILE',
  }),
  'wifi-certificate': Flags.string({
    summary: "Board's certificate for tls (PEM).",
    env: 'AIOT_WIFI_CERTIFICATE',
    helpValue: 'FILE',
  }),
  'wifi-key': Flags.string({
    summary: "Key of the board's certificate (PEM).",
    env: 'AIOT_WIFI_KEY',
    helpValue: 'FILE',
  }),
  'wifi-address': Flags.string({
    summary: 'Fixed IPv4 address with its prefix length, such as 10.0.0.7/24 [default: assigned by DHCP].',
    env: 'AIOT_WIFI_ADDRESS',
    helpValue: 'ADDRESS',
  }),
  'wifi-gateway': Flags.string({
    summary: 'Gateway for a fixed address.',
    env: 'AIOT_WIFI_GATEWAY',
    helpValue: 'ADDRESS',
  }),
  'wifi-dns': Flags.string({
    summary: 'DNS server for a fixed address [default: the gateway].',
    env: 'AIOT_WIFI_DNS',
    helpValue: 'ADDRESS',
  }),
  partitions: Flags.string({
    summary: "Partition table, CSV [default: the board's own, else the one in aiot docs nvs].",
    env: 'AIOT_PARTITIONS',
    helpValue: 'FILE',
  }),
  'nvs-version': Flags.option({ options: ['1', '2'] as const, default: '2' as const })({
    summary: 'NVS page format version; use 1 for firmware older than ESP-IDF 3.2.',
    env: 'AIOT_NVS_VERSION',
  }),
  'encrypt-nvs': Flags.boolean({
    summary: 'Encrypt NVS with newly generated keys, stored in a separate partition.',
    env: 'AIOT_ENCRYPT_NVS',
  }),
  'nvs-key': Flags.string({
    summary: 'Encrypt NVS with the keys that the chip derives from this HMAC key (32 bytes).',
    env: 'AIOT_NVS_KEY',
    helpValue: 'FILE',
    exclusive: ['encrypt-nvs'],
  }),
  'flash-size': Flags.option({ options: flashSizes })({
    summary: "Flash size [default: the board's, else 4MB].",
    env: 'AIOT_FLASH_SIZE',
  }),
};

interface ImageGiven {
  'wifi-ssid': string | undefined;
  'wifi-password-file': string | undefined;
  'wifi-eap': WifiLogin['method'] | undefined;
  'wifi-username': string | undefined;
  'wifi-identity': string | undefined;
  'wifi-ca': string | undefined;
  'wifi-certificate': string | undefined;
  'wifi-key': string | undefined;
  'wifi-address': string | undefined;
  'wifi-gateway': string | undefined;
  'wifi-dns': string | undefined;
  partitions: string | undefined;
  'nvs-version': '1' | '2';
  'encrypt-nvs': boolean;
  'nvs-key': string | undefined;
  'flash-size': (typeof flashSizes)[number] | undefined;
}

/** Converts these flags to an image request. The Wi-Fi password can also come from the environment, but never from the command line. */
export function imageAsked(flags: ImageGiven): ImageRequest {
  const size = flags['flash-size'];
  return {
    ssid: flags['wifi-ssid'],
    passwordFile: flags['wifi-password-file'],
    login: {
      method: flags['wifi-eap'],
      identity: flags['wifi-identity'],
      username: flags['wifi-username'],
      ca: flags['wifi-ca'],
      certificate: flags['wifi-certificate'],
      key: flags['wifi-key'],
    },
    address: flags['wifi-address'],
    gateway: flags['wifi-gateway'],
    dns: flags['wifi-dns'],
    password: process.env.AIOT_WIFI_PASSWORD,
    partitions: flags.partitions,
    nvsVersion: flags['nvs-version'] === '1' ? 1 : 2,
    encrypt: flags['encrypt-nvs'],
    nvsKey: flags['nvs-key'],
    ...(size === undefined ? {} : { flashBytes: flashSizeBytes(size) }),
  };
}

/** A flash address as a flag: `0x10000`, `65536`, `64K`; the command receives bytes. */
export const flashOffset = Flags.custom<number>({
  parse: async (text, _context, { name }) => {
    const offset = offsetOf(text);
    if (offset !== null) return offset;
    throw new AiotError(
      'AIOT_USAGE',
      `--${name}: expected a number such as 0x10000, 65536 or 64K, got "${text}"`,
    );
  },
  helpValue: 'OFFSET',
});

/** Flags of commands that talk to a board's SMP server. */
export const smpFlags = {
  port: Flags.string({
    summary: 'Serial port, udp:HOST:PORT, or simulated:mcuboot [default: the only board].',
    env: 'AIOT_PORT',
    helpValue: 'PORT',
    helpGroup: 'CONNECTION',
  }),
  baud: Flags.integer({
    summary: 'Baud rate of a serial port.',
    env: 'AIOT_BAUD',
    helpGroup: 'CONNECTION',
    min: 50,
    default: 115_200,
  }),
  timeout: duration({
    summary: 'Time limit for one response. A request is sent up to four times.',
    env: 'AIOT_TIMEOUT',
    helpGroup: 'CONNECTION',
    min: 10,
    default: 2500,
  }),
};

/** Maximum number of packets of an upload in flight. */
export const smpWindow = Flags.integer({
  summary: 'Maximum number of packets in flight [default: as the board and the connection allow].',
  env: 'AIOT_WINDOW',
  helpGroup: 'CONNECTION',
  min: 1,
  max: 32,
});

/** Options of an SMP connection from these flags. */
export const smpOptions = (
  flags: { port: string | undefined; baud: number; timeout: number },
  signal: AbortSignal,
) => ({ port: flags.port, baud: flags.baud, timeoutMs: flags.timeout, signal });

/** Flags that describe the flash of a board with MCUboot. */
export const mcubootBoardFlags = {
  'slot-size': flashOffset({
    summary: 'Size of the slot.',
    env: 'AIOT_SLOT_SIZE',
    helpGroup: 'BOARD',
    helpValue: 'BYTES',
    required: true,
  }),
  'header-size': flashOffset({
    summary: 'Size of the header, as reserved by the build.',
    env: 'AIOT_HEADER_SIZE',
    helpGroup: 'BOARD',
    helpValue: 'BYTES',
    default: 0x200,
  }),
  'pad-header': Flags.boolean({
    summary: 'Prepend the header, for a program that reserves no space for it.',
    env: 'AIOT_PAD_HEADER',
    helpGroup: 'BOARD',
  }),
  align: Flags.option({ options: ['1', '2', '4', '8', '16', '32'] as const, default: '8' as const })({
    summary: 'Smallest write to the flash, bytes.',
    env: 'AIOT_ALIGN',
    helpGroup: 'BOARD',
  }),
  'max-sectors': Flags.integer({
    summary: 'Number of sectors in a slot, for the trailer.',
    env: 'AIOT_MAX_SECTORS',
    helpGroup: 'BOARD',
    min: 1,
    default: 128,
  }),
  'overwrite-only': Flags.boolean({
    summary: 'The bootloader overwrites images instead of swapping them.',
    env: 'AIOT_OVERWRITE_ONLY',
    helpGroup: 'BOARD',
  }),
  'load-address': flashOffset({
    summary: 'Address in RAM that the program is copied to.',
    env: 'AIOT_LOAD_ADDRESS',
    helpGroup: 'BOARD',
    helpValue: 'ADDRESS',
  }),
  pad: Flags.option({ options: ['pending', 'confirmed'] as const })({
    summary: 'Pad the image to the size of the slot, with a trailer that marks it as pending or confirmed.',
    env: 'AIOT_PAD',
    helpGroup: 'BOARD',
  }),
};

/** A chip revision as a flag, such as `1.3`; the command receives major · 100 + minor, as in image headers. */
export const revision = Flags.custom<number>({
  parse: async (text, _context, { name }) => {
    const [, major, minor] = /^(\d{1,3})\.(\d{1,2})$/.exec(text) ?? [];
    const value = Number(major) * 100 + Number(minor);
    if (major !== undefined && value <= 0xffff) return value;
    throw new AiotError('AIOT_USAGE', `--${name}: expected a revision such as 1.3, got "${text}"`);
  },
  helpValue: 'MAJOR.MINOR',
});

/** Flags of commands that create or change images. */
export const firmwareFlags = {
  chip: Flags.option({ options: chipNames })({
    summary: "Target chip [default: the input files' chip].",
    env: 'AIOT_CHIP',
  }),
  'flash-mode': Flags.option({ options: flashModes })({
    summary: 'Flash mode: number of data lines, and whether they also carry addresses.',
    env: 'AIOT_FLASH_MODE',
  }),
  'flash-size': Flags.option({ options: flashSizes })({
    summary: 'Flash size.',
    env: 'AIOT_FLASH_SIZE',
  }),
  'flash-freq': Flags.option({ options: flashFrequencies })({
    summary: 'Flash frequency; valid values depend on the chip.',
    env: 'AIOT_FLASH_FREQ',
  }),
};

/** A current as a flag, such as `30A` or `2.5A`; the command receives amperes. */
const current = Flags.custom<number>({
  parse: async (text, _context, { name }) => {
    const [, number] = /^(\d+(?:\.\d+)?) ?A$/.exec(text) ?? [];
    if (number !== undefined) return Number(number);
    throw new AiotError('AIOT_USAGE', `--${name}: expected a current such as 30A, got "${text}"`);
  },
  helpValue: 'AMPERES',
});

/** A voltage range as a flag, such as `0.15-2.45`; the command receives volts. */
const volts = Flags.custom<{ low: number; high: number }>({
  parse: async (text, _context, { name }) => {
    const [, low, high] = /^(\d+(?:\.\d+)?) ?- ?(\d+(?:\.\d+)?) ?V?$/.exec(text) ?? [];
    if (low !== undefined && high !== undefined) return { low: Number(low), high: Number(high) };
    throw new AiotError('AIOT_USAGE', `--${name}: expected two voltages such as 0.15-2.45, got "${text}"`);
  },
  helpValue: 'LOW-HIGH',
});

/** Flags of `tools burden-resistor`. */
export const burdenFlags = {
  clamp: Flags.string({
    summary: 'Rating printed on the clamp: its maximum current and its output at that current.',
    default: '100A:50mA',
    env: 'AIOT_CLAMP',
    helpValue: 'AMPERES:MILLIAMPERES',
  }),
  turns: decimal({
    summary: "Turns of the clamp's secondary winding [default: computed from its currents].",
    env: 'AIOT_TURNS',
    helpValue: 'COUNT',
  }),
  nominal: current({
    summary: "Highest current you want to measure [default: the clamp's].",
    env: 'AIOT_NOMINAL',
  }),
  volts: decimal({
    summary: "Bias supply voltage, and the voltage at the ADC's highest count.",
    default: 3.3,
    env: 'AIOT_VOLTS',
    helpValue: 'VOLTS',
  }),
  range: volts({
    summary: 'Voltage range in which the ADC is linear; 0.15-2.45 for an ESP32 [default: the full range].',
    env: 'AIOT_RANGE',
  }),
  'adc-bits': Flags.integer({
    summary: 'ADC resolution in bits.',
    default: 12,
    env: 'AIOT_ADC_BITS',
    helpValue: 'BITS',
  }),
};

/** Arguments and flags of `firmware encrypt` and `firmware decrypt`. */
export const cryptArgs = { file: Args.string({ required: true, description: 'File to convert.' }) };

export const cryptFlags = {
  key: Flags.string({
    summary: "File with the chip's key: 32 bytes, 64 for XTS-AES-256, or 16 for an ESP32-C2.",
    env: 'AIOT_KEY',
    helpValue: 'FILE',
    required: true,
  }),
  address: flashOffset({
    summary: 'Address of the first byte in flash.',
    env: 'AIOT_ADDRESS',
    required: true,
  }),
  out: Flags.string({
    char: 'o',
    summary: 'File to write.',
    env: 'AIOT_OUT',
    helpValue: 'FILE',
    required: true,
  }),
};
