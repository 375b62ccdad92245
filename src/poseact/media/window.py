"""A window on the screen, by the Tk that comes with Python: OpenCV's headless wheel has none."""

from __future__ import annotations

from typing import Any

import numpy as np


class Window:
    """Shows one picture after the other. ValueError where there is no screen or no Tk."""

    def __init__(self, title: str) -> None:
        try:
            import tkinter

            self._root: Any = tkinter.Tk()
        except Exception as error:  # also tkinter.TclError, which has no name without tkinter
            raise _no_window(error) from None
        self._root.title(title)
        self._photo_of = tkinter.PhotoImage
        self._label: Any = tkinter.Label(self._root, borderwidth=0)
        self._label.pack()
        self._open = True
        self._root.protocol("WM_DELETE_WINDOW", self.close)
        for key in ("<Escape>", "q"):
            self._root.bind(key, lambda _: self.close())

    def show(self, rgb: np.ndarray) -> bool:
        """Show uint8 RGB (H, W, 3); False once the user has closed the window (Esc, q, its cross).

        Larger pictures than the screen are halved until they fit.
        """
        if not self._open:
            return False
        while rgb.shape[0] > self._root.winfo_screenheight() and min(rgb.shape[:2]) > 1:
            rgb = rgb[::2, ::2]
        data = b"P6 %d %d 255\n" % rgb.shape[1::-1] + np.ascontiguousarray(rgb).tobytes()
        photo = self._photo_of(master=self._root, data=data, format="PPM")
        self._label.configure(image=photo)
        self._label.image = photo  # Tk itself does not keep it
        self._root.update()
        return self._open

    def close(self) -> None:
        """Take the window away."""
        if self._open:
            self._open = False
            self._root.destroy()


def _no_window(error: Exception) -> ValueError:
    return ValueError(f"no window can be opened here ({error}); leave --window out")
