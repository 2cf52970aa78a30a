/** Times as people and other programs read them. */

/** Microseconds since 1970 as RFC 3339 in UTC with six decimals. */
export function rfc3339(micros: number): string {
  const ms = Math.floor(micros / 1000);
  const rest = String(micros - ms * 1000).padStart(3, '0');
  return new Date(ms).toISOString().replace('Z', `${rest}Z`);
}
