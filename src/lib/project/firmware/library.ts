import { readFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { requireNewFolder, writeNewFolder } from '../../core/files.js';
import { aiotVersion, packageRoot } from '../../core/folders.js';
import { packageSources } from './folder.js';

export const firmwareLibrarySchema = z.object({
  dir: z.string(),
  name: z.string(),
  version: z.string(),
  /** Numbers of C sources and of public headers. */
  sources: z.int(),
  headers: z.int(),
  /** Manifests, each for one tool. */
  manifests: z.array(z.string()),
  notes: z.array(z.string()),
});

export type FirmwareLibrary = z.output<typeof firmwareLibrarySchema>;

export interface LibraryOptions {
  dir: string;
  /** Name in the registries. */
  name: string;
  /** Person or company that maintains the library, such as `Plant Ltd <firmware@plant.example>`. */
  author?: string | undefined;
  /** Page of the library. */
  url?: string | undefined;
}

const manifests = ['idf_component.yml', 'library.json', 'library.properties'];
const summary = 'Telemetry, signed updates and models for devices of an aiot platform.';

/** Ports for a Linux machine that the example uses. */
const hostFiles =
  /^hal\/host\/(clock|crypto_openssl|flash_file|hal_host|http_answer|http_openssl|identity|mqtt_mosquitto)\.[ch]$/;

/**
 * Writes the portable core as a library for ESP-IDF, PlatformIO and Arduino, with an example, completely or not at all.
 * @throws AIOT_USAGE for an invalid name or URL, AIOT_FOLDER_NOT_EMPTY, AIOT_FILE_NOT_WRITABLE
 */
export async function createLibrary(options: LibraryOptions): Promise<FirmwareLibrary> {
  const { name, author, url } = options;
  // The narrowest rule of the three registries.
  if (!/^[a-z][a-z0-9-]{1,48}[a-z0-9]$/.test(name))
    throw new AiotError('AIOT_USAGE', `--name: expected 3 to 50 of a-z, 0-9 and -, got ${name}`);
  if (url !== undefined && !isPage(url))
    throw new AiotError('AIOT_USAGE', `--url: expected an http or https URL, got ${url}`);
  if (author !== undefined && !isLine(author))
    throw new AiotError('AIOT_USAGE', '--author: expected one line of text');
  const dir = resolve(options.dir);
  await requireNewFolder(dir);
  const files = await libraryFiles(options);
  await writeNewFolder(dir, files);
  const paths = [...files.keys()];
  const missing = [...(author === undefined ? ['--author'] : []), ...(url === undefined ? ['--url'] : [])];
  return {
    ...{ dir, name, manifests, version: aiotVersion() },
    sources: paths.filter((path) => /^src\/.*\.c$/.test(path)).length,
    headers: paths.filter((path) => /^src\/aiot(\/.*)?\.h$/.test(path)).length,
    notes: missing.length > 0 ? [`Arduino's registry also requires ${missing.join(' and ')}.`] : [],
  };
}

const isLine = (text: string) => /^[\p{L}\p{N}\p{P}\p{S} ]+$/u.test(text) && text.trim() === text;

const isPage = (text: string) =>
  URL.canParse(text) && /^https?:/.test(text) && isLine(text) && !text.includes(' ');

async function libraryFiles(options: LibraryOptions): Promise<Map<string, string>> {
  const { root, paths } = await packageSources();
  const read = (path: string) => readFile(join(root, path), 'utf8');
  const example = (name: string) => readFile(join(packageRoot(), 'templates', 'library', name), 'utf8');
  const files = new Map<string, string>();
  const headers: string[] = [];
  for (const path of paths) {
    const source = /^core\/src\/(.*\.[ch])$/.exec(path)?.[1];
    const header = /^core\/include\/(aiot\/.*\.h)$/.exec(path)?.[1];
    if (header !== undefined) headers.push(header);
    if (header !== undefined) files.set(`src/${header}`, await read(path));
    else if (source?.endsWith('.c')) files.set(`src/${source}`, exactArithmetic + (await read(path)));
    else if (source !== undefined) files.set(`src/${source}`, await read(path));
    else if (path === 'hal/include/aiot/hal.h') files.set('extras/host/aiot/hal.h', await read(path));
    else if (hostFiles.test(path)) files.set(`extras/host/${basename(path)}`, await read(path));
  }
  files.set('src/aiot.h', umbrella(headers));
  files.set('CMakeLists.txt', componentCmake);
  files.set('idf_component.yml', componentManifest(options));
  files.set('library.json', platformioManifest(options));
  files.set('library.properties', arduinoManifest(options));
  files.set('README.md', await example('README.md'));
  files.set('examples/device/device.c', await example('device.c'));
  files.set('examples/device/board.h', await example('board.h'));
  files.set('examples/device/device.ino', sketch);
  files.set('extras/host/board.c', await example('board.c'));
  files.set('extras/host/CMakeLists.txt', hostCmake);
  files.set('LICENSE', await readFile(join(packageRoot(), 'LICENSE'), 'utf8'));
  return files;
}

/** Disables fused multiply-adds, which round once where training rounds twice. Arduino has no compiler options for a single library. */
const exactArithmetic =
  '#if defined(ARDUINO) && defined(__GNUC__)\n#pragma GCC optimize("fp-contract=off")\n#endif\n';

function umbrella(headers: readonly string[]): string {
  const includes = headers.map((header) => `#include "${header}"`).join('\n');
  return `/* All of the library. */
#ifndef AIOT_H
#define AIOT_H

#ifdef __cplusplus
extern "C" {
#endif

${includes}

#ifdef __cplusplus
}
#endif

#endif
`;
}

const componentCmake = `# A component of ESP-IDF.
file(GLOB_RECURSE sources \${CMAKE_CURRENT_LIST_DIR}/src/*.c)
idf_component_register(SRCS \${sources} INCLUDE_DIRS src)
# Makes results identical everywhere. A fused multiply-add rounds once, but training rounds twice.
target_compile_options(\${COMPONENT_LIB} PRIVATE -ffp-contract=off)
`;

const hostCmake = `# Builds the example for this machine: cmake -S extras/host -B build && cmake --build build
cmake_minimum_required(VERSION 3.18)
project(aiot_example LANGUAGES C)
set(CMAKE_C_STANDARD 11)
find_package(OpenSSL 3 REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(MOSQUITTO REQUIRED IMPORTED_TARGET libmosquitto)
set(library \${CMAKE_CURRENT_LIST_DIR}/../..)
file(GLOB_RECURSE core \${library}/src/*.c)
file(GLOB host \${CMAKE_CURRENT_LIST_DIR}/*.c)
add_executable(example \${library}/examples/device/device.c \${host} \${core})
target_include_directories(example PRIVATE \${library}/src \${library}/examples/device \${CMAKE_CURRENT_LIST_DIR})
target_compile_options(example PRIVATE -ffp-contract=off -Wall -Wextra)
target_link_libraries(example PRIVATE OpenSSL::SSL PkgConfig::MOSQUITTO m)
`;

const sketch = `/* device.c is the example. Add a board.c with the functions of board.h for your board. */
#include <aiot.h>

#include "board.h"

void setup() {
  while (!device_begin()) delay(1000);
}

void loop() {
  if (!device_step()) delay(1000);
}
`;

const componentManifest = ({ url }: LibraryOptions) => `version: "${aiotVersion()}"
description: ${JSON.stringify(summary)}
license: Apache-2.0
${url === undefined ? '' : `url: ${JSON.stringify(url)}\n`}dependencies:
  idf: ">=5.3"
`;

function platformioManifest({ name, author, url }: LibraryOptions): string {
  const manifest = {
    name,
    version: aiotVersion(),
    description: summary,
    keywords: ['iot', 'mqtt', 'ota', 'machine learning', 'tflite'],
    license: 'Apache-2.0',
    ...(author === undefined ? {} : { authors: [{ name: nameOf(author), ...mailOf(author) }] }),
    ...(url === undefined ? {} : { homepage: url }),
    headers: 'aiot.h',
    frameworks: '*',
    platforms: '*',
    build: { flags: ['-ffp-contract=off'] },
    examples: [{ name: 'device', base: 'examples/device', files: ['device.c', 'board.h'] }],
  };
  return `${JSON.stringify(manifest, null, 2)}\n`;
}

const nameOf = (author: string) => author.replace(/\s*<[^<>]*>$/, '');

function mailOf(author: string): { email?: string } {
  const email = /<([^<>]+)>$/.exec(author)?.[1];
  return email === undefined ? {} : { email };
}

const arduinoManifest = ({ name, author, url }: LibraryOptions) =>
  [
    `name=${name}`,
    `version=${aiotVersion()}`,
    ...(author === undefined ? [] : [`author=${author}`, `maintainer=${author}`]),
    `sentence=${summary}`,
    'paragraph=The portable core: signal features, int8 inference, protocol v1 over MQTT, and updates with rollback.',
    'category=Communication',
    ...(url === undefined ? [] : [`url=${url}`]),
    'architectures=*',
    'includes=aiot.h',
    '',
  ].join('\n');
