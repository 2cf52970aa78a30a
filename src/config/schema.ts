/**
 * The one door to zod. Every boundary (configuration, inventory, control socket, stored JSON) describes its shape with
 * this `z`, so that the version and its habits are met in one place.
 *
 * Objects at a boundary are `z.strictObject`: an unknown key is a typing error of the operator and must fail.
 */
export { z } from 'zod';
