/** Names of OpenSSL's verification errors as Node gives them (node:tls, "X509 certificate error codes"), and Node's own. */
const untrusted = /^ERR_TLS_|CERT|SELF_SIGNED|ISSUER|UNABLE_TO_VERIFY/;

/** Whether a system error code says that the far side's certificate is not to be trusted. */
export function isUntrusted(code: string): boolean {
  return untrusted.test(code);
}
