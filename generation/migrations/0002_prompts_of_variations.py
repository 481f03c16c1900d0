"""Several variations in one prompt, more kinds of image, and what each node can make."""

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models

import generation.models


def nodes_ask_again(apps, _schema_editor):
    """Have each node asked what it has, and prove itself, before it gets another job."""
    apps.get_model("generation", "Node").objects.update(health="unknown")


class Migration(migrations.Migration):
    dependencies = [("generation", "0001_initial")]

    operations = [
        migrations.RenameField("job", "mode", "workflow"),
        migrations.AlterField(
            "job",
            "workflow",
            models.CharField(max_length=24, help_text="What a node must be able to make."),
        ),
        migrations.AlterField(
            "job", "prompt_id", models.UUIDField(null=True, db_index=True, editable=False)
        ),
        migrations.AddField(
            "job", "prompt_index", models.PositiveSmallIntegerField(default=0, editable=False)
        ),
        migrations.AddField(
            "batch",
            "size",
            models.PositiveSmallIntegerField(default=1, help_text="How many jobs it has."),
        ),
        migrations.AddField(
            "generatedimage",
            "method",
            models.CharField(max_length=80, blank=True, help_text="How it was enlarged."),
        ),
        migrations.AlterField(
            "node",
            "workflows",
            models.JSONField(
                default=generation.models._all_modes,
                editable=False,
                help_text="The kinds of image that it has all models and node classes for.",
            ),
        ),
        migrations.AddField(
            "node",
            "abilities",
            models.JSONField(
                default=generation.models._no_abilities,
                editable=False,
                help_text="Its models and node classes, as it named them.",
            ),
        ),
        migrations.AddField(
            "node",
            "images_per_prompt",
            models.PositiveSmallIntegerField(
                default=4,
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(4),
                ],
                help_text="Variations that it may make at once.",
            ),
        ),
        migrations.AddField(
            "node",
            "memory_mb",
            models.PositiveIntegerField(
                "GPU memory (MB)", null=True, editable=False, help_text="Of its largest card."
            ),
        ),
        migrations.CreateModel(
            name="BatchPicture",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "name",
                    models.CharField(
                        max_length=200, db_index=True, help_text="Its name in storage."
                    ),
                ),
                (
                    "batch",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="pictures",
                        to="generation.batch",
                    ),
                ),
            ],
        ),
        migrations.RunPython(nodes_ask_again, migrations.RunPython.noop),
    ]
