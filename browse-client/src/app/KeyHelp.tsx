// The list of keys (`?`): everything that is registered now.

import { useState } from "react";
import { Dialog, Heading, Modal, ModalOverlay } from "react-aria-components";

import { Button } from "../ui/Button.tsx";
import { CloseIcon, KeyboardIcon } from "../ui/icons.tsx";
import { Tooltip } from "../ui/Tooltip.tsx";
import { useRegisteredShortcuts, useShortcuts } from "./keyboard.ts";

export function KeyHelp() {
  const [open, setOpen] = useState(false);
  useShortcuts([{ keys: "?", label: "This list", group: "Everywhere", run: () => setOpen(true) }]);
  return (
    <>
      <Tooltip text="Keyboard shortcuts (?)">
        <Button look="quiet" aria-label="Keyboard shortcuts" onPress={() => setOpen(true)}>
          <KeyboardIcon />
        </Button>
      </Tooltip>
      <ModalOverlay className="overlay" isOpen={open} onOpenChange={setOpen} isDismissable>
        <Modal className="modal">
          <Dialog className="dialog">
            <header>
              <Heading slot="title">Keyboard shortcuts</Heading>
              <Button slot="close" look="quiet" aria-label="Close">
                <CloseIcon />
              </Button>
            </header>
            <Keys />
          </Dialog>
        </Modal>
      </ModalOverlay>
    </>
  );
}

function Keys() {
  const shortcuts = useRegisteredShortcuts();
  const groups = Map.groupBy(shortcuts, ({ group }) => group);
  return [...groups].map(([group, keys]) => (
    <section key={group} className="keys">
      <h3>{group}</h3>
      <dl>
        {keys.map(({ keys, label }) => (
          <div key={keys}>
            <dt>{label}</dt>
            <dd>
              {keys.split(" ").map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dd>
          </div>
        ))}
        {group === "Everywhere" && (
          <div>
            <dt>Close, leave a field</dt>
            <dd>
              <kbd>Esc</kbd>
            </dd>
          </div>
        )}
      </dl>
    </section>
  ));
}
