import { AiotError, readText } from '../../core/index.js';
import { type ChipOptions, checkWifi, usualFlashBytes, type Wifi } from './options.js';

/** What somebody asked to be put into images, before files were read. */
export interface ImageRequest {
  ssid?: string | undefined;
  /** File with the password as its first line; else the variable. */
  passwordFile?: string | undefined;
  /** The password as the environment has it. */
  password?: string | undefined;
  nvsVersion: 1 | 2;
  /** File of a partition table, CSV. */
  partitions?: string | undefined;
  flashBytes?: number | undefined;
  encrypt: boolean;
}

/** The same for all devices of a run. `table` null = the default one, or the board's own. */
export type CommonImage = Omit<ChipOptions, 'chip'>;

/** Reads the files. @throws AIOT_USAGE, AIOT_FILE_NOT_FOUND */
export async function imageRequest(asked: ImageRequest): Promise<CommonImage> {
  const { nvsVersion, partitions, encrypt, flashBytes = usualFlashBytes } = asked;
  return {
    ...{ nvsVersion, encrypt, flashBytes },
    wifi: await wifiOf(asked),
    table: partitions === undefined ? null : await readText(partitions),
  };
}

async function wifiOf({ ssid, passwordFile, password }: ImageRequest): Promise<Wifi | null> {
  if (ssid === undefined) {
    if (passwordFile === undefined) return null;
    throw new AiotError('AIOT_USAGE', 'expected the name of the network that the password is for', {
      next: 'Give it: --wifi-ssid NAME',
    });
  }
  // Spaces belong to a password; the end of its line does not.
  const told = passwordFile === undefined ? password : (await readText(passwordFile)).replace(/\r?\n$/, '');
  return checkWifi(ssid, told ?? '');
}
