/** Secrets of an installation: which there are, and a script that makes them where they are needed. */
export { type NamedSecret, secretsOf } from './list.js';
export { type SecretFile, type SecretSource, secretsScript } from './script.js';
