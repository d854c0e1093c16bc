#!/usr/bin/env node
// Runs the sources without a build: node bin/dev.js COMMAND
import { register } from 'tsx/esm/api';

register();
process.env.NODE_ENV ??= 'development';
const { main } = await import('../src/lib/cli/main.ts');
await main(process.argv.slice(2), import.meta.url, { development: true });
