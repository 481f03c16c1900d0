from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("usage", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name='AddressDay',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('day', models.DateField()),
                ('address_hash', models.CharField(max_length=64)),
                ('accepted', models.PositiveIntegerField()),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('day', 'address_hash'), name='address_day_once')],
            },
        ),
    ]
