/**
 * The SSH algorithm names that a setting may name, as RFC 4253 section 7.1 writes them. `MODERN` is
 * offered without a word; `LEGACY` only where somebody asks for it by name. What stands in neither
 * list is never spoken: group exchange (dear to check and easy to abuse), DSA, RC4, MD5, truncated
 * MACs, and group 1.
 */

export const MODERN = {
  kex: ['mlkem768x25519-sha256', 'curve25519-sha256', 'curve25519-sha256@libssh.org'],
  cipher: [
    'aes128-gcm@openssh.com',
    'aes256-gcm@openssh.com',
    'chacha20-poly1305@openssh.com',
    'aes128-ctr',
    'aes192-ctr',
    'aes256-ctr',
  ],
  mac: [
    'hmac-sha2-256-etm@openssh.com',
    'hmac-sha2-512-etm@openssh.com',
    // libssh2 before 1.11, and with it curl, has no others that anybody should use.
    'hmac-sha2-256',
    'hmac-sha2-512',
  ],
  host_key: [
    'ssh-ed25519',
    'ecdsa-sha2-nistp256',
    'ecdsa-sha2-nistp384',
    'ecdsa-sha2-nistp521',
    'rsa-sha2-512',
    'rsa-sha2-256',
  ],
} as const;

export const LEGACY = {
  kex: [
    'ecdh-sha2-nistp256',
    'ecdh-sha2-nistp384',
    'ecdh-sha2-nistp521',
    'diffie-hellman-group14-sha256',
    'diffie-hellman-group15-sha512',
    'diffie-hellman-group16-sha512',
    'diffie-hellman-group17-sha512',
    'diffie-hellman-group18-sha512',
    'diffie-hellman-group14-sha1',
  ],
  cipher: ['aes128-cbc', 'aes192-cbc', 'aes256-cbc', '3des-cbc'],
  mac: ['hmac-sha1-etm@openssh.com', 'hmac-sha1'],
  host_key: ['ssh-rsa'],
} as const;

export type AlgorithmKind = keyof typeof MODERN;

/** Every name of a kind that a setting or the inventory may name. */
export function knownAlgorithms(kind: AlgorithmKind): readonly string[] {
  return [...MODERN[kind], ...LEGACY[kind]];
}
