"""What writes films, picture by picture: mp4 by ffmpeg, GIF by Pillow."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile

from PIL import GifImagePlugin, Image, ImageChops

from dynsim._check import refusal


def ffmpeg():
    """Where the program ffmpeg is, or None."""
    return shutil.which("ffmpeg")


def encoder(suffix):
    """The class that writes films of this ending. Raises FileNotFoundError for .mp4 without ffmpeg."""
    if suffix.lower() == ".gif":
        return GifEncoder
    if ffmpeg() is None:
        do = "install it with the system's package manager or choose a name that ends in .gif"
        raise refusal("output", "an .mp4 film", "the program ffmpeg to be installed", do, error=FileNotFoundError)
    return Mp4Encoder


class Mp4Encoder:
    """H.264 by ffmpeg, which reads raw pictures from a pipe and writes the path `file`."""

    name = "ffmpeg"

    def __init__(self, file, size, fps):
        # It writes by name: an mp4 file is finished by going back to its beginning. In a session of its own it does not
        # receive Ctrl-C; it is ended here.
        command = [ffmpeg(), "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgba"]
        command += ["-s", f"{size[0]}x{size[1]}", "-r", str(fps), "-i", "-", "-an", "-c:v", "libx264", "-crf", "20"]
        command += ["-pix_fmt", "yuv420p", "-movflags", "+faststart", "-f", "mp4", os.fspath(file)]
        self.messages = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self.messages, start_new_session=True
        )

    def add(self, picture):
        """Append a picture (height, width, 4) of bytes."""
        try:
            self.process.stdin.write(picture.tobytes())
        except BrokenPipeError:
            raise OSError(f"ffmpeg ended early: {self._message()}") from None

    def _message(self):
        self.process.wait()
        self.messages.seek(0)
        return self.messages.read().decode(errors="replace").strip()[-300:] or "it gave no reason"

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        with self.messages:
            if kind is not None:
                self.process.kill()
                self.process.stdin.close()
                self.process.wait()
                return
            self.process.stdin.close()
            if self.process.wait():
                raise OSError(f"ffmpeg could not write the film: {self._message()}")


class GifEncoder:
    """GIF by Pillow, frame by frame: its own `save_all` holds the whole film in memory."""

    name = "Pillow"

    def __init__(self, file, size, fps):
        self.file = open(file, "wb")
        # GIF counts in hundredths of a second, and browsers slow down what is faster than 2 of them.
        self.duration = max(20, round(100 / fps) * 10)
        self.palette = self.last = None

    def add(self, picture):
        """Append a picture (height, width, 4) of bytes."""
        image = Image.fromarray(picture).convert("RGB")
        if self.palette is None:
            self.palette = _palette(image)
        frame = image.quantize(palette=self.palette, dither=Image.Dither.NONE)
        corner = (0, 0)
        if self.last is None:
            header, _ = GifImagePlugin.getheader(frame, info={"loop": 0, "duration": self.duration})
            self.file.write(b"".join(header))
            part = frame
        else:
            # Only the rectangle that changed; a picture like the last one still lasts its time.
            changed = ImageChops.difference(frame.convert("L"), self.last.convert("L")).getbbox() or (0, 0, 1, 1)
            part, corner = frame.crop(changed), changed[:2]
        self.last = frame
        for piece in GifImagePlugin.getdata(part, corner, duration=self.duration):
            self.file.write(piece)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        with self.file:
            if kind is None:
                self.file.write(b";")


def _palette(image):
    """The colours of a film, as those of its first picture, which has them all: the same points, elsewhere."""
    found = image.quantize(255, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).getpalette()[: 3 * 255]
    colours = [found[k : k + 3] for k in range(0, len(found), 3)]
    made = Image.new("P", (1, 1))
    # The ground stays white: the median of nearly white colours is not, and would be taken for it.
    made.putpalette([part for colour in colours for part in (colour if min(colour) < 248 else (255, 255, 255))])
    return made
