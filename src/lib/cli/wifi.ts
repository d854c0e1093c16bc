import { text } from 'node:stream/consumers';
import { readText } from '../core/files.js';
import type { SeenNetwork } from '../device/onboard/improv-session.js';
import type { Wifi } from '../provision/chip-options.js';
import { createAsker, type Judged } from './questions.js';
import { forTerminal, table } from './render/text.js';
import { askSecret } from './secrets.js';

/**
 * The Wi-Fi password from a file, from stdin (`-`) or from AIOT_WIFI_PASSWORD, without its line ending; spaces are part of it. Undefined
 * if none is given. The command line is not an option, because it ends up in shell history and process listings.
 * @throws AIOT_FILE_NOT_FOUND
 */
export async function readWifiPassword(file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return process.env.AIOT_WIFI_PASSWORD;
  const content = file === '-' ? await text(process.stdin) : await readText(file);
  return content.replace(/\r?\n$/, '');
}

/**
 * Asks on the terminal for the network, by its number in the list or by its name, and for its password unless it is open. A network that
 * is not listed may be hidden.
 * @param ssid the name, if it is known already @throws AIOT_INTERRUPTED, AIOT_USAGE
 */
export async function askForWifi(
  networks: readonly SeenNetwork[],
  ssid: string | undefined,
  signal: AbortSignal,
): Promise<Wifi> {
  const name = ssid ?? (await askForNetwork(networks, signal));
  if (networks.find((network) => network.ssid === name)?.secured === false)
    return { ssid: name, password: '' };
  return { ssid: name, password: await askSecret(forTerminal(`Password of ${name}: `), signal) };
}

async function askForNetwork(networks: readonly SeenNetwork[], signal: AbortSignal): Promise<string> {
  const rows = networks.map(({ ssid, dbm, secured }, at) => [
    String(at + 1),
    ssid,
    dbm === null ? '' : `${dbm} dBm`,
    secured ? '' : 'open',
  ]);
  if (rows.length > 0) process.stderr.write(forTerminal(`${table(['', 'network', 'signal', ''], rows)}\n`));
  const asker = createAsker(signal);
  try {
    return await asker.ask({
      text:
        rows.length > 0
          ? 'Network, by number or name?'
          : 'The board sees no network. Name of a hidden network?',
      ...(rows.length > 0 && { otherwise: '1' }),
      judge: (answer): Judged<string> => {
        if (answer === '') return { problem: 'Enter a name.' };
        const listed = /^\d{1,2}$/.test(answer) ? networks[Number(answer) - 1] : undefined;
        return { value: listed?.ssid ?? answer };
      },
    });
  } finally {
    asker.close();
  }
}
