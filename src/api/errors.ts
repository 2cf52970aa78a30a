/**
 * The errors of the API: a type from one table, which fixes the HTTP status, a message, and details. The names are those
 * of the SPS contract (section 3). What the rest of the product throws is turned into one of them here.
 */
import { AppError } from '../base/errors.ts';
import type { ErrorCode } from '../base/errors.ts';

/** Every type there is, with its status. */
export const API_ERRORS = {
  SessionIdMissing: 400,
  SemanticError: 400,
  SyntacticError: 400,
  InvalidQuery: 400,
  Unauthenticated: 401,
  AuthenticationFailure: 401,
  Unauthorized: 403,
  NotFound: 404,
  SessionCouldNotBeFound: 404,
  MethodNotAllowed: 405,
  NoTransaction: 409,
  TransactionAlreadyOpen: 409,
  ConfigurationLocked: 409,
  LengthRequired: 411,
  TooLarge: 413,
  RangeNotSatisfiable: 416,
  TooManyRequests: 429,
  InternalError: 500,
  SessionTerminationFailed: 500,
  RemoteNodeInfoMissing: 500,
  ServiceUnavailable: 503,
  SessionTerminationServiceUnavailable: 503,
  MinionUnavailable: 504,
} as const satisfies Record<string, number>;

export type ApiErrorType = keyof typeof API_ERRORS;

export class ApiError extends Error {
  readonly type: ApiErrorType;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    type: ApiErrorType,
    message: string,
    details: Readonly<Record<string, unknown>> = {},
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.name = 'ApiError';
    this.type = type;
    this.details = details;
  }

  get status(): number {
    return API_ERRORS[this.type];
  }
}

const TYPES: Partial<Record<ErrorCode, ApiErrorType>> = {
  usage: 'SemanticError',
  'inventory-invalid': 'SemanticError',
  'not-found': 'NotFound',
  protocol: 'SemanticError',
  'not-allowed': 'Unauthorized',
  busy: 'ServiceUnavailable',
  'trail-invalid': 'SemanticError',
};

/** What a caller is told of anything that was thrown; the message of what is not his to know is not shown. */
export function apiErrorOf(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  const type = error instanceof AppError && error.kind.expose ? TYPES[error.code] : undefined;
  if (type !== undefined)
    return new ApiError(type, (error as AppError).message, {}, { cause: error });
  const text = 'The gate failed to do this; its log has the reason.';
  return new ApiError('InternalError', text, {}, { cause: error });
}
