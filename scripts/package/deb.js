import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { epoch, must } from './tools.js';

const architectures = { x64: 'amd64', arm64: 'arm64' };
const service = 'aiot-platform';

/**
 * Builds a Debian package of the staged files. Installing it starts no service; `systemctl enable --now aiot-platform` does.
 * @param {{root: string, work: string, out: string, version: string, arch: string, maintainer: string, fast: boolean}} input
 * @returns {Promise<string>} path of the .deb
 */
export async function debianPackage({ root, work, out, version, arch, maintainer, fast }) {
  const folder = join(work, 'deb');
  const architecture = architectures[arch];
  mkdirSync(folder);
  must('cp', ['-al', root, join(folder, 'usr')]);
  const doc = join(folder, 'usr', 'share', 'doc', 'aiot');
  mkdirSync(doc, { recursive: true });
  for (const name of ['LICENSE', 'README.md']) rmSync(join(folder, 'usr', name));
  writeFileSync(join(doc, 'copyright'), copyright);
  writeFileSync(join(doc, 'changelog.gz'), gzipped(changelog({ version, maintainer })));
  compressPages(join(folder, 'usr', 'share', 'man', 'man1'));
  const units = join(folder, 'usr', 'lib', 'systemd', 'system');
  mkdirSync(units, { recursive: true });
  writeFileSync(join(units, `${service}.service`), await unitText(join(folder, 'usr', 'lib', 'aiot')));
  const control = join(folder, 'DEBIAN');
  mkdirSync(control);
  const kib = sizeInKib(join(folder, 'usr'));
  writeFileSync(join(control, 'control'), controlFile({ version, architecture, maintainer, kib }));
  writeFileSync(join(control, 'prerm'), prerm);
  chmodSync(join(control, 'prerm'), 0o755);
  // Files of npm packages have inconsistent modes.
  must('chmod', ['-R', 'u+rwX,go+rX,go-w', folder]);
  const file = join(out, `aiot_${version}_${architecture}.deb`);
  const options = ['--root-owner-group', '-Zxz', `-z${fast ? 0 : 6}`, '--build', folder, file];
  must('dpkg-deb', options, { env: { ...process.env, SOURCE_DATE_EPOCH: epoch() } });
  return file;
}

/** The package's control file (deb-control(5)). */
export function controlFile({ version, architecture, maintainer, kib }) {
  return `Package: aiot
Version: ${version}
Architecture: ${architecture}
Maintainer: ${maintainer}
Installed-Size: ${kib}
Depends: libc6 (>= 2.28), libgcc-s1, libstdc++6 (>= 8)
Suggests: openssl
Section: net
Priority: optional
Description: sensor streams, models on microcontrollers, device fleets
 Records and checks sensor data, trains and quantizes small networks, signs
 them, rolls them out over the air to a fleet of devices and monitors them
 there. Self-hosted and local first: one process is a whole platform, with
 an HTTPS API, an MQTT broker and a dashboard.
 .
 Includes Node.js, which only this program uses.
`;
}

/** Stops the service before removal, but not if the package is removed from a different root (DPKG_ROOT). */
const prerm = `#!/bin/sh
set -e
if [ -z "\${DPKG_ROOT:-}" ] && [ "$1" = remove ] && [ -d /run/systemd/system ]; then
  deb-systemd-invoke stop ${service}.service >/dev/null || true
fi
`;

/**
 * The service of `aiot platform service install`, with a user allocated by systemd.
 * @param {string} app folder with dist/
 */
export async function unitText(app) {
  const core = pathToFileURL(join(app, 'dist/lib/core/index.js')).href;
  const { platformUnit } = await import(core);
  return platformUnit({
    service,
    command: [
      ...['/usr/lib/aiot/node', '/usr/lib/aiot/bin/run.js', 'up', '--json', '--host', '127.0.0.1'],
      ...['--http-port', '8443', '--mqtt-port', '8883'],
    ],
    ...{ user: undefined, data: undefined, config: undefined, reads: [], lowPorts: false },
    ...{ secrets: '/etc/aiot/platform.env', memory: '1G' },
  });
}

/** Debian's machine-readable copyright format 1.0. */
const copyright = `Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: aiot
Comment: The npm packages in /usr/lib/aiot/node_modules include their licenses.
 The license of Node.js is in /usr/lib/aiot/node.LICENSE.

Files: *
Copyright: 2026 the authors of aiot
License: Apache-2.0
 On Debian systems the full text of the Apache License 2.0 is in
 /usr/share/common-licenses/Apache-2.0.
`;

function changelog({ version, maintainer }) {
  const date = new Date(Number(epoch()) * 1000).toUTCString().replace('GMT', '+0000');
  return `aiot (${version}) unstable; urgency=medium

  * See CHANGELOG.md in the source repository.

 -- ${maintainer}  ${date}
`;
}

/** Apparent size as counted by du(1), which dpkg shows to the user. */
function sizeInKib(folder) {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  const bytes = files.map((entry) => statSync(join(entry.parentPath ?? entry.path, entry.name)).size);
  return bytes.reduce((sum, size) => sum + Math.ceil(size / 1024), 0);
}

const gzipped = (text) => gzipSync(text, { level: 9 });

function compressPages(folder) {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    writeFileSync(`${path}.gz`, gzipped(readFileSync(path)));
    rmSync(path);
  }
}
