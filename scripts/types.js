// Writes dist/index.d.ts: the types of the package's exports, in one file. Created only while packing, because tsconfig.json maps `aiot` to
// the sources in a clone.
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rollup } from 'rollup';
import { dts } from 'rollup-plugin-dts';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
process.chdir(root);
const bundle = await rollup({
  input: 'src/index.ts',
  plugins: [dts({ tsconfig: join(root, 'tsconfig.build.json') })],
  // Only our own sources are bundled. Types from other packages are still imported from those packages.
  external: (id) => !id.startsWith('.') && !id.startsWith('/'),
  onwarn: ({ message }) => {
    throw new Error(message);
  },
});
await bundle.write({ file: 'dist/index.d.ts', format: 'es' });
await bundle.close();
