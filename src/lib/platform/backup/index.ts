/** Backups of a running platform, and platforms made of backups. */
export { type Restored, type RestoreOptions, restoreBackup, restoredSchema } from './restore.js';
export { type SaveOptions, saveBackup } from './save.js';
