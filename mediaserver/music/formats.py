"""What is decoded: FFmpeg's demuxers and decoders by allow-list. Everything else that a build of FFmpeg can do, it does
not do for us."""

# Demuxer, as FFmpeg calls it -> the media type that a file of it is served and listed as.
CONTAINERS = {
    "mp3": "audio/mpeg",
    "aac": "audio/aac",
    "mov,mp4,m4a,3gp,3g2,mj2": "audio/mp4",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "mpegts": "video/mp2t",  # of HLS
}
CODECS = frozenset(
    (
        *("mp3", "mp3float", "aac", "alac", "vorbis", "opus", "libopus", "flac"),
        *("pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_f64le", "pcm_alaw", "pcm_mulaw"),
    )
)
# Those whose length and whose places FFmpeg only guesses from the bit rate: they are walked through instead.
UNINDEXED = frozenset(("mp3", "aac"))
# Those that say truly how long they are, so that one that ends early was cut off.
HONEST = frozenset(("mov,mp4,m4a,3gp,3g2,mj2", "flac"))

OPTIONS = {
    "format_whitelist": ",".join(CONTAINERS),
    "codec_whitelist": ",".join(sorted(CODECS)),
    "protocol_whitelist": "none",
    "max_streams": "32",
    "probesize": "1000000",
}

TAGS = ("title", "artist", "album")
MAX_TAG = 200  # characters
MAX_COVER = 2 * 1024 * 1024
_PICTURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}

# Samples per second of everything behind the decoder.
RATE = 48_000


def picture_type(data: bytes) -> str | None:
    """The media type of a picture by how it begins; None for what is none that browsers show."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for start, kind in _PICTURES.items() if data.startswith(start)), None)


def clean_tag(text: str) -> str:
    """A tag as one line that can be shown anywhere: without control characters, not too long."""
    printable = "".join(character if character.isprintable() else " " for character in text[: 4 * MAX_TAG])
    return " ".join(printable.split())[:MAX_TAG].strip()
