// Buttons, and links that look like them.

import {
  Button as AriaButton,
  Link as AriaLink,
  type ButtonProps,
  type LinkProps,
} from "react-aria-components";

export type Look = "plain" | "primary" | "quiet";

type More = { look?: Look; small?: boolean };

function classOf({ look = "plain", small = false }: More): string {
  return `button button-${look}${small ? " button-small" : ""}`;
}

/** `plain` has a border, `primary` is the page's main action, `quiet` has neither border nor fill. */
export function Button({ look, small, ...props }: Omit<ButtonProps, "className"> & More) {
  return <AriaButton {...props} className={classOf({ ...(look && { look }), ...(small && { small }) })} />;
}

/** A link to a page outside of the router, such as those of the sign-in. */
export function ButtonLink({ look, small, ...props }: Omit<LinkProps, "className"> & More) {
  return <AriaLink {...props} className={classOf({ ...(look && { look }), ...(small && { small }) })} />;
}
