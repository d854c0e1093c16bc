// Checks all packages that are installed with aiot: each has a license that permits redistribution, npm's bill of materials (CycloneDX)
// lists it, and it has no high or critical advisory. If the registry has no audit endpoint, the last check is skipped with a notice.
// Usage: node scripts/ci/supply.js [--sbom FILE]. Exits 1 if a check fails.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inside } from '../inside.js';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** Licenses that require only their text and the names to be included. */
const allowed = new Set([
  ...[
    'MIT',
    'MIT-0',
    'ISC',
    'BSD-2-Clause',
    'BSD-3-Clause',
    'Apache-2.0',
    '0BSD',
    'BlueOak-1.0.0',
    'Unlicense',
    'CC0-1.0',
    'Zlib',
  ],
]);
/**
 * Other licenses, accepted for packages that were reviewed: libvips is linked dynamically and can be replaced, and jsfive, written at
 * NIST, is in the public domain.
 */
const exceptions = [
  { name: /^@img\/sharp-/, licence: 'LGPL-3.0-or-later' },
  { name: /^jsfive$/, licence: 'SEE LICENSE IN LICENSE.txt' },
];

/**
 * The packages in a lock file that are installed with aiot, including optional ones for other systems and those bundled in aiot.
 * @param {{packages: Record<string, {version?: string, license?: string, dev?: boolean, devOptional?: boolean}>}} lock
 * @returns {{path: string, name: string, version: string, licence: string}[]}
 */
export function installed(lock) {
  const isInside = new Set(inside.map((name) => `node_modules/${name}`));
  return Object.entries(lock.packages)
    .filter(([path, entry]) => path !== '' && (!entry.dev || isInside.has(path)))
    .map(([path, { version = '', license = '' }]) => ({
      path,
      name: path.slice(path.lastIndexOf('node_modules/') + 13),
      version,
      licence: license,
    }));
}

/** Whether an SPDX expression of AND and OR is allowed; for OR, one side is enough. */
export function isAllowed(name, licence) {
  if (exceptions.some((one) => one.name.test(name) && one.licence === licence)) return true;
  const fits = (word) =>
    allowed.has(word) || exceptions.some((one) => one.name.test(name) && one.licence === word);
  const plain = licence.replace(/[()]/g, '');
  return plain.split(' OR ').some((side) => side.split(' AND ').every((word) => fits(word.trim())));
}

/**
 * Evaluates the result of `npm audit --json` for these packages. npm's `--omit=dev` is not used, because it would omit the packages that
 * are bundled in aiot.
 * @param {{statusCode?: number, message?: string, vulnerabilities?: Record<string, {severity: string, nodes: string[]}>}} answer
 * @param {{path: string}[]} packages
 * @returns {{ok: boolean, said: string}}
 */
export function verdictOf(answer, packages) {
  const { statusCode, vulnerabilities, message } = answer;
  if (statusCode === 404 || statusCode === 405 || statusCode === 501)
    return { ok: true, said: `NOT audited: the registry has no audit endpoint (${statusCode})` };
  if (!vulnerabilities) return { ok: false, said: `NOT audited: ${message ?? 'npm audit did not respond'}` };
  const paths = new Set(packages.map(({ path }) => path));
  const found = Object.values(vulnerabilities).filter(({ nodes }) => nodes.some((path) => paths.has(path)));
  const [high, critical] = ['high', 'critical'].map(
    (wanted) => found.filter(({ severity }) => severity === wanted).length,
  );
  return {
    ok: high + critical === 0,
    said: `audited: ${found.length} packages with advisories, ${high} high, ${critical} critical`,
  };
}

/**
 * Removes the packages that are only for development from a bill of materials. npm's own `--omit dev` would also omit packages that both
 * aiot and its development need, such as zod.
 */
export function withoutDevelopment(bom) {
  const marks = (one) =>
    (one.properties ?? []).some(({ name }) => name === 'cdx:npm:package:development') &&
    !inside.includes(nameOf(one));
  const gone = new Set((bom.components ?? []).filter(marks).map((one) => one['bom-ref']));
  return {
    ...bom,
    components: (bom.components ?? []).filter((one) => !marks(one)),
    dependencies: (bom.dependencies ?? [])
      .filter(({ ref }) => !gone.has(ref))
      .map(({ ref, dependsOn = [] }) => ({ ref, dependsOn: dependsOn.filter((one) => !gone.has(one)) })),
  };
}

/** Installed packages that are missing in the bill of materials. */
export function missingIn(bom, packages) {
  const named = new Set((bom.components ?? []).map((one) => `${nameOf(one)}@${one.version}`));
  return packages.filter(({ name, version }) => !named.has(`${name}@${version}`));
}

function nameOf({ group, name }) {
  return group ? `${group}/${name}` : name;
}

function npm(...args) {
  const { stdout } = spawnSync('npm', args, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 << 20,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  try {
    return JSON.parse(stdout);
  } catch {
    return {};
  }
}

/** The bill of materials for this checkout's lock file, in CycloneDX format. */
export function billOfMaterials() {
  return withoutDevelopment(npm('sbom', '--sbom-format', 'cyclonedx', '--package-lock-only'));
}

function main() {
  const packages = installed(JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')));
  const refused = packages.filter(({ name, licence }) => !isAllowed(name, licence));
  const counts = new Map();
  for (const { licence } of packages) counts.set(licence, (counts.get(licence) ?? 0) + 1);
  const listed = [...counts].sort((a, b) => b[1] - a[1]).map(([licence, count]) => `${licence} ${count}`);
  console.log(`licenses of ${packages.length} packages: ${listed.join(', ')}`);
  for (const { name, version, licence } of refused)
    console.log(`not allowed: ${name}@${version}: ${licence || 'no license'}`);
  const bom = billOfMaterials();
  const missing = missingIn(bom, packages);
  console.log(`bill of materials: ${bom.components.length} components, CycloneDX ${bom.specVersion ?? '?'}`);
  for (const { name, version } of missing)
    console.log(`missing from the bill of materials: ${name}@${version}`);
  const at = process.argv.indexOf('--sbom');
  if (at > 0) writeFileSync(process.argv[at + 1], `${JSON.stringify(bom, null, 2)}\n`);
  const audit = verdictOf(npm('audit', '--json'), packages);
  console.log(audit.said);
  process.exitCode = refused.length + missing.length === 0 && audit.ok ? 0 : 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
