/**
 * Leaves out Zod's messages in other languages: 0.3 MB that nothing shows, and that every start would parse.
 * @type {import('esbuild').Plugin}
 */
export const zodInEnglish = {
  name: 'zod-in-english',
  setup({ onLoad }) {
    const contents = "export { default as en } from './en.js';";
    onLoad({ filter: /[\\/]zod[\\/]v4[\\/]locales[\\/]index\.js$/ }, () => ({ contents }));
  },
};
