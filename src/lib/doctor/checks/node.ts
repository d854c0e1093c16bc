import { type Finding, fail, ok } from '../finding.js';

/** As package.json's engines: `>=20.19`. */
const oldest = [20, 19] as const;

export function checkNode(version: string): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const good = major > oldest[0] || (major === oldest[0] && minor >= oldest[1]);
  const detail = `Node ${version} on ${process.platform}-${process.arch}`;
  return good
    ? ok('node', detail)
    : fail('node', detail, `Install Node ${oldest.join('.')} or newer from https://nodejs.org.`);
}
