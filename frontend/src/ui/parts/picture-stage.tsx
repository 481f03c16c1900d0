/** The picture stage: shows one picture after the other, each only when it is decoded, so that nothing flickers. */
import { useEffect, useRef, useState } from "preact/hooks";

export type Picture = { readonly url: string; readonly kind: "preview" | "result"; readonly alt: string };

type Shown = { readonly picture: Picture; readonly under: Picture | null };

/**
 * Fade to `picture`. Without one, go on showing the last while `keep` is set, else nothing.
 *
 * A picture that was asked for earlier never covers one that was asked for later.
 */
export function PictureStage({
  picture,
  keep,
}: {
  readonly picture: Picture | null;
  readonly keep: boolean;
}) {
  const [shown, setShown] = useState<Shown | null>(null);
  const asked = useRef(0);
  const landed = useRef(0);
  const url = picture?.url ?? null;

  useEffect(() => {
    const turn = ++asked.current;
    if (picture === null) {
      if (!keep) {
        landed.current = turn;
        setShown(null);
      }
      return;
    }
    const image = new Image();
    image.src = picture.url;
    image.decode().then(
      () => {
        if (turn <= landed.current) return;
        landed.current = turn;
        setShown((before) => ({ picture, under: before?.picture ?? null }));
      },
      // A preview may be gone before it was fetched; the next picture comes anyway.
      () => undefined,
    );
    // The picture is named by its address.
  }, [url, keep]);

  if (shown === null) return null;
  const { under, picture: top } = shown;
  return (
    <>
      {under !== null && under.url !== top.url && (
        <img key={under.url} class="pane-layer stage-picture" src={under.url} alt="" aria-hidden="true" />
      )}
      <img
        key={top.url}
        class="pane-layer stage-picture"
        data-kind={top.kind}
        data-testid={top.kind === "result" ? "result-image" : "preview-image"}
        src={top.url}
        alt={top.alt}
        // A picture of another shape would let the one under it show at the sides.
        onAnimationEnd={() =>
          setShown((now) => (now?.picture.url === top.url ? { picture: top, under: null } : now))
        }
      />
    </>
  );
}
