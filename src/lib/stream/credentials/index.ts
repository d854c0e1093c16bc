/** Who we are to brokers: from files and flags, and kept by `aiot stream login` in the user's config folder. */
export { type CredentialFiles, credentialsFrom } from './files.js';
export { keptSchema, type Login, listLogins, login, loginSchema, logout } from './login.js';
export { saysWho, withKeptCredentials } from './resolve.js';
