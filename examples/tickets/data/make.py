"""Makes tickets.csv: messages to a shop that does not exist, put together from sentences in this file."""

from __future__ import annotations

import csv
import random
from pathlib import Path

ROWS = 300
THING = ["lamp", "kettle", "chair", "jacket", "keyboard", "backpack", "mirror", "blender"]
OPEN = ["Hello,", "Good morning,", "Hi there,", "To whom it may concern,", "", "Hey,"]
CLOSE = ["Thank you.", "Please help.", "I look forward to your answer.", "Regards, a customer", "", "This is urgent."]
SAYS = {
    "delivery": [
        "my parcel with the {} has not arrived.", "the tracking number shows no movement for a week.",
        "the courier left the {} at the wrong address.", "when will you ship my {}?",
        "the box was open when the parcel was delivered.", "can the {} be sent to another street?",
    ],
    "payment": [
        "I was charged twice for the {}.", "my card was declined although there is money on the account.",
        "please send the invoice for the {}.", "where is the refund for my {}?",
        "the voucher was not deducted from the price.", "can I pay for the {} by bank transfer?",
    ],
    "product": [
        "the {} stopped working after two days.", "a screw is missing, so I cannot assemble the {}.",
        "the colour of the {} is not the one in the picture.", "how do I clean the {}?",
        "the {} makes a strange noise.", "is there a spare part for the {}?",
    ],
}  # fmt: skip


def main() -> None:
    """The command."""
    chance = random.Random(11)  # noqa: S311 - no secret
    with (Path(__file__).parent / "raw/tickets.csv").open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["message", "customer", "topic"])
        for _ in range(ROWS):
            topic = chance.choice(["delivery", "delivery", "payment", "product"])
            said = chance.sample(SAYS[topic], chance.choice([1, 1, 2]))
            if chance.random() < 0.15:  # some write about two things
                said.append(chance.choice(SAYS[chance.choice(list(SAYS))]))
            text = " ".join([chance.choice(OPEN), *said, chance.choice(CLOSE)]).format(*[chance.choice(THING)] * 9)
            out.writerow([text.strip(), int(chance.random() < (0.8 if topic == "product" else 0.5)), topic])


if __name__ == "__main__":
    main()
