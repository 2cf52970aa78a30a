/** The table of sessions of the API. */
import { big, entity, objectId, primary, text } from './columns.ts';

export interface LoginSessionRecord {
  /** 64 hexadecimal digits. */
  digest: string;
  userId: string;
  /** JSON, its owner's to read. */
  data: string;
  /** Microseconds since 1970. */
  createdAt: number;
  expiresAt: number;
}

export const LoginSessionEntity = entity<LoginSessionRecord>({
  name: 'LoginSession',
  tableName: 'login_sessions',
  columns: {
    digest: { type: 'varchar', length: 64, ...primary },
    userId: objectId,
    data: text,
    createdAt: big,
    expiresAt: big,
  },
  indices: [{ name: 'login_sessions_expires', columns: ['expiresAt'] }],
});
