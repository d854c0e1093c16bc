import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TrustRoot } from '../../src/lib/formats/manifest/envelope.js';
import type { Lab } from './attacker.js';

/**
 * Creates identities of provisioned native devices under attack, with the attacker between each device and its
 * registry.
 */
export function nativeVictims(lab: () => Lab) {
  const folders: string[] = [];
  return {
    /** @param trust a trust root that overrides the default one */
    async blank(trust?: TrustRoot): Promise<string> {
      const folder = await mkdtemp(join(tmpdir(), 'aiot-native-victim-'));
      folders.push(folder);
      await cp(lab().folder, folder, { recursive: true });
      const file = join(folder, 'device.json');
      const device = JSON.parse(await readFile(file, 'utf8'));
      await writeFile(file, JSON.stringify({ ...device, urls: { ...device.urls, http: lab().origin } }));
      if (trust) await writeFile(join(folder, 'trust.json'), JSON.stringify(trust));
      return folder;
    },
    async remove(): Promise<void> {
      for (const folder of folders) await rm(folder, { recursive: true, force: true });
    },
  };
}
